"""What is in a data folder and what is wrong with it, before a training finds out."""
