"""Published network weights: what there is, finding it on this computer, downloading it checked, opening it safely."""

from __future__ import annotations

from .store import WeightsEntry, cache_dir, entries, fetch, find, load_state_dict, resolve, sha256_of

__all__ = ["WeightsEntry", "cache_dir", "entries", "fetch", "find", "load_state_dict", "resolve", "sha256_of"]
