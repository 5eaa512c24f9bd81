"""`python -m workstation` is the command line."""

from workstation.cli import main

main()
