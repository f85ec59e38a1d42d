"""`python -m mia`."""

from mia.cli.main import main

main()
