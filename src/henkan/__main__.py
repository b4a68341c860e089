"""``python -m henkan``, the same as the command ``henkan``."""

from henkan.cli.app import main

if __name__ == "__main__":
    main()
