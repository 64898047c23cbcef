"""The cause of an object: the part of its uid that it shares with what it was made for. Pure.

The uid of an object that is made for another (its owner's child, an event about it) begins with the
same digits as the other's. So one text finds an object, its children, theirs, and all that is told
of them; it can be read from any uid, and is stored nowhere beside it.
"""

import re

# 48 of a uid's 122 random bits, with the dash between them: `1f0e9c2a-77b1`.
CAUSE_CHARS = 13
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def cause_of(uid: str) -> str:
    """Return the cause of the object that has a uid; empty where it has none yet."""
    return uid[:CAUSE_CHARS]


def uid_for(uid: str, parent_uid: str) -> str:
    """Return a new uid as that of a child; one whose parent has none of our form stays as it is."""
    if UID.fullmatch(parent_uid) is None:
        return uid
    return cause_of(parent_uid) + uid[CAUSE_CHARS:]
