#!/usr/bin/env python
"""Command line of a checkout."""

from adminsite.__main__ import main

if __name__ == "__main__":
    main()
