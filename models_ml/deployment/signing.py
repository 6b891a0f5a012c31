"""Signatures of pipelines: an HMAC over pickle and record, with keys that only the environment holds.

Whoever can write the folder of artifacts can run code in whatever reads it, unless ``BAYESPILOT_SIGNING_KEY`` is set
where pipelines are made and read: then an unsigned or altered pipeline is refused before it is unpickled. The variable
holds one key, or several separated by commas: the first one signs, all of them are accepted, so that a new key can
come before the old one goes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import asdict, replace

from models_ml.deployment.record import DeploymentRecord

KEYS = "BAYESPILOT_SIGNING_KEY"


def signing_keys() -> list[bytes]:
    """Return the keys, none where nothing is to be signed."""
    return [key.strip().encode() for key in os.environ.get(KEYS, "").split(",") if key.strip()]


def signed(record: DeploymentRecord, content: bytes) -> DeploymentRecord:
    """Return the record with a signature by the first key, or without one where there is no key."""
    keys = signing_keys()
    return replace(record, signature=signature(record, content, keys[0]) if keys else "")


def is_signed(record: DeploymentRecord, content: bytes, keys: list[bytes]) -> bool:
    """Say whether one of the keys has signed pickle and record as they are."""
    return any(hmac.compare_digest(signature(record, content, key), record.signature) for key in keys)


def signature(record: DeploymentRecord, content: bytes, key: bytes) -> str:
    """Return the HMAC-SHA256 over the record, its signature left out, and the pickle.

    The record comes first as the SHA-256 of its sorted JSON, of fixed length, so that no byte can move from one to
    the other.
    """
    unsigned = {name: value for name, value in asdict(record).items() if name != "signature"}
    digest = hashlib.sha256(json.dumps(unsigned, sort_keys=True).encode()).digest()
    return hmac.new(key, digest + content, hashlib.sha256).hexdigest()
