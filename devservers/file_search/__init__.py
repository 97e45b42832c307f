"""Search of raw files of servers for texts, in every encoding, and unpacked from every format.

In reading order:

- ``encodings``: the forms in which a text or a subject may stand in bytes
- ``frames``: compressed frames, unpacked wherever they stand
- ``kafka_files``, ``postgres_files``, ``redis_files``, ``rocksdb_files``: what these servers' formats hide
- ``search``: the search of files

It shares no code with the product's proofs: bench/privacy shows by it that nothing is left of an erased person.
"""
