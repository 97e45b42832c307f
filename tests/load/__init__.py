"""LoadStep that looks like chat traffic, on everything that runs: where its knee is, and what grows in half an hour."""
