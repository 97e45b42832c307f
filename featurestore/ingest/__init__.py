"""What comes in, where it did not come in well: the letters that the streams put aside."""
