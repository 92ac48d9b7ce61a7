"""`python -m undertone` is the command `undertone`."""

from undertone.cli.main import main

main()
