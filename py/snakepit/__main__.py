"""`python -m snakepit`: call and list tools in this process, without any C++."""

from snakepit._cli import main

if __name__ == "__main__":
    main()
