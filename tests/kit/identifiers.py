"""Identifiers that look like others, and are refused at every entrance: each with the words of the refusal."""

LOOKALIKES = {
    "C1 ": "end with white space or an invisible character: U+0020",
    " C1": "begin with white space or an invisible character: U+0020",
    "C1\u00a0": "end with white space or an invisible character: U+00A0",
    "\u200bC1": "begin with white space or an invisible character: U+200B",
    "C1\ufeff": "end with white space or an invisible character: U+FEFF",
    "Zoe\u0308": "normal form C",
}
