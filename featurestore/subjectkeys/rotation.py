"""Rotation: every subject's key is wrapped by the first wrapping key, while processes read and write.

A call that was killed is continued by the next: what is done is seen at the keys themselves.
"""

from collections.abc import Callable

from featurestore.subjectkeys.key_store import WrappedKey, key_store
from featurestore.subjectkeys.wrapping_keys import wrapping_keys

PAGE = 500


def rotate(progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Wrap the keys that another wrapping key wrapped; their number. ``progress`` gets how many keys were looked at,
    and how many there are. Raises KeyStoreUnavailable, WrappingKeyUnusable.
    """
    store, wrapping = key_store(), wrapping_keys()
    total, looked_at, replaced, after, page = sum(store.counts().values()), 0, 0, "", list[WrappedKey]()
    if own := store.get(""):  # the installation's key comes before every page
        page = [own]
    while page or (page := store.page(after, PAGE)):
        for old in page:
            if old.wrapping_key != wrapping.first:
                key = wrapping.unwrap(old.wrapped, old.subject, old.wrapping_key)
                new = old._replace(wrapping_key=wrapping.first, wrapped=wrapping.wrap(key, old.subject))
                replaced += store.replace(old, new)
        looked_at, after, page = looked_at + len(page), page[-1].subject, []
        progress(looked_at, total)
    return replaced
