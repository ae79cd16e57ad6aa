"""What both SDKs' results have in common here."""

from dataclasses import dataclass


@dataclass
class Answer:
    text: str
    is_error: bool
