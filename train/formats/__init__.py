"""What others label with, turned into our folders of images/, masks/, labels.toml and index.csv."""
