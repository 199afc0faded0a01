"""A command at a terminal, and somebody there who answers what it asks: `ANSWER COMMAND ...`.

What it prints goes on to the standard output. It is asked when `(y/N)` is to be seen.
"""

import os
import pty
import sys
import termios

QUESTION = b"(y/N)"
#: A new one has none, and a program that counts how many lines it has printed never ends then.
ROWS, COLUMNS = 24, 100


def main(answer: str, command: list[str]) -> int:
    """Run the command; its exit code, which is 1 where it ends without having asked."""
    child, terminal = pty.fork()
    if child == 0:
        termios.tcsetwinsize(0, (ROWS, COLUMNS))
        os.execvp(command[0], command)
    printed, answered = b"", False
    while part := _read(terminal):
        printed += part
        if QUESTION in printed and not answered:
            os.write(terminal, answer.encode() + b"\r")
            answered = True
    sys.stdout.buffer.write(printed)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if answered else 1


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # how Linux says that the other end has been closed
        return b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
