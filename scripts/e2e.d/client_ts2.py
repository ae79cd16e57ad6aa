"""The TypeScript SDK 2.x."""

from functools import partial

import client_ts

versions = client_ts.versions
connect = partial(client_ts.connect, "ts2")
