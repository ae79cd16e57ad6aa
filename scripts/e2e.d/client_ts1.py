"""The TypeScript SDK 1.x."""

from functools import partial

import client_ts

versions = client_ts.versions
connect = partial(client_ts.connect, "ts1")
