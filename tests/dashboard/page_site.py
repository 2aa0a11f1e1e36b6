"""A site with the page on it: `bridge-web`, a worker with an app that fails, and users of each role."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from werkzeug.security import generate_password_hash

from bridge.config.foreign_pool import Address
from tests.journey.site import Program, Site, site_on_sqlite
from tests.limits import PATIENCE
from tests.ports import free_port

PASSWORDS = {"sam": "password-of-sam", "ola": "password-of-ola", "ana": "password-of-ana"}
ROLES = {"sam": "see", "ola": "operate", "ana": "edit"}
SECRET = "a secret that is long enough for the tests"


def dashboard_toml() -> str:
    """The tables of the settings that let the users in, with hashes that are cheap to check."""
    tables = [f'[dashboard]\nsecret = "{SECRET}"\ntitle = "shop"\n']
    for name, password in PASSWORDS.items():
        hashed = generate_password_hash(password, "pbkdf2:sha256:1")
        tables.append(f'[dashboard.users.{name}]\npassword = "{hashed}"\nrole = "{ROLES[name]}"\n')
    return "\n".join(tables)


SETTINGS = """
retry = {attempts = 1}
[queues.orders]
patterns = ["order.#"]
[queues.mail]
patterns = ["mail.#"]
[queues.default]
deadline = "15m"

"""


@contextmanager
def site_with_users(directory: Path) -> Iterator[Site]:
    """Return a site with users of the page, and without a worker. It is removed at the end of the block."""
    site = site_on_sqlite(directory)
    site.configure(SETTINGS + dashboard_toml())
    yield site
    site.remove()


async def page_in_a_pool(site: Site) -> Address:
    """Start `bridge-pool` with the page; return the address of its socket."""
    async with site.broker():
        pass
    address = Address(path=f"{site.directory}/run/page.sock")
    app = "deferred_event_bridge.dashboard:create_app()"
    pool = site.run("bridge-pool", app, "--bind", str(address), "--children", "1", "--spare", "0")
    await pool.says("warm after")
    return address


@dataclass(slots=True)
class PageSite:
    """The site, and the URL of its page."""

    site: Site
    url: str
    web: Program
    worker: Program

    @property
    def directory(self) -> Path:
        """The directory of the site."""
        return self.site.directory


@contextmanager
def page_site(directory: Path) -> Iterator[PageSite]:
    """Start the site; end it at the end of the block."""
    site = site_on_sqlite(directory)
    shutil.copy(Path(__file__).with_name("shop.py"), directory)
    site.configure(SETTINGS + dashboard_toml())
    port = free_port()
    try:
        worker = site.worker(app="shop:app")
        web = site.run("bridge-web", "--listen", f"127.0.0.1:{port}")
        until(lambda: "The page is at" in web.log, lambda: web.log)
        until(lambda: "ready for events" in worker.log, lambda: worker.log)
        yield PageSite(site, f"http://127.0.0.1:{port}", web, worker)
    finally:
        site.remove()


def until(holds: Callable[[], object], report: Callable[[], str] = lambda: "it stays false") -> None:
    """Wait until the condition holds; fail with the report if it does not."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, report()
        time.sleep(0.02)


def axe() -> str | None:
    """Return axe-core's script, if `scripts/install-browser.sh` has installed it."""
    path = Path(__file__).parents[2] / ".venv/axe-core/node_modules/axe-core/axe.min.js"
    return path.read_text("utf-8") if path.exists() else None
