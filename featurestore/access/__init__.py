"""Access: which programs may ask, with which keys, for which services and purposes; and who may administer them."""
