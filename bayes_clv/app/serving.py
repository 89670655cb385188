"""The command ``app``: a finished run shown on this machine until it is stopped.

marimo serves the page as a process of its own, so that a page that is busy can be stopped. Only this machine can open
it unless ``host`` says otherwise, and then whoever opens it needs the token that is printed.
"""

import importlib.util
import ipaddress
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bayes_clv.schema import InputError, argument
from bayes_clv.workflows.choices import Browsing

NOTEBOOK = Path(__file__).with_name("notebook.py")


def serve(choice: Browsing, tell: Callable[[str], None]) -> list[str]:
    """Show a run until the process is stopped; ``tell`` is given what to open before that.

    Raises
    ------
    InputError
        For a folder that is no finished run, a port that is taken, and where marimo is not installed.
    """
    from bayes_clv.workflows.folders import read_run

    read_run(choice.run)
    if importlib.util.find_spec("marimo") is None:
        raise InputError("The app needs marimo. Install it: pip install 'bayes_clv[app]'.")
    port = _free(choice.host, choice.port)
    token = None if _is_here(choice.host) else secrets.token_urlsafe(16)
    address = f"http://{_named(choice.host)}:{port}/" + ("" if token is None else f"?access_token={token}")
    who = (
        "Only this machine can open it." if token is None else "Who opens it needs the token in the address."
    )
    tell(f"Open {address}\n{who} Stop it with Ctrl+C.")
    page = subprocess.Popen(
        _command(choice, port, with_token=token is not None),
        stdin=subprocess.DEVNULL if token is None else subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    # Whoever stops this command by TERM stops the page too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if token is not None:
            assert page.stdin is not None
            page.stdin.write(token)
            page.stdin.close()
        status = page.wait()
    except KeyboardInterrupt:
        return ["Stopped."]
    finally:
        page.terminate()
        page.wait()
    if status:
        raise InputError(f"The page ended by itself (status {status}); what it said stands above.")
    return ["Stopped."]


def _command(choice: Browsing, port: int, *, with_token: bool) -> list[str]:
    """Return what starts the page. The token goes by its standard input, which no list of processes shows."""
    safe = ["--token", "--token-password-file", "-"] if with_token else ["--no-token"]
    window = [] if choice.open else ["--headless"]
    run = str(Path(choice.run).resolve())
    draws = [] if choice.draws is None else ["--draws", str(choice.draws)]
    return [
        *(sys.executable, "-m", "marimo", "--quiet", "run", str(NOTEBOOK), "--no-check"),
        *("--host", choice.host, "--port", str(port), *safe, *window, "--", "--run", run, *draws),
    ]


def _is_here(host: str) -> bool:
    """Return whether only this machine can open it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _named(host: str) -> str:
    """Return a host as an address has it; of all addresses of the machine its name."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _free(host: str, port: int | None) -> int:
    """Return the port, or a free one where none was asked for; one that is taken is refused."""
    try:
        family = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port or 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        asked = argument("host", host) if port is None else f"{argument('port', port)} of {host}"
        raise InputError(f"{asked} cannot be used: {error.strerror}. Name another.") from None
