"""Proof of privacy: a person's data is written to every data location, erased, and searched for in raw bytes.

In reading order:

- ``canaries``: what is searched for, and in which locations it must be found before
- ``disk``: every file, and what it is a file of
- ``facts``: the product's own writers, in a process of the installation
- ``passage``, ``servers``: a customer into every location, and out again; servers and processes for that
- ``amounts``, ``reads``: erasure and export of many events; reads while erasures run
- ``__main__``: ``make prove-privacy``
"""
