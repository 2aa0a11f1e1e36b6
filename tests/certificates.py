"""An authority of a test's own, and certificates that it signs, as files. Made by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate and of its key."""

    cert: Path
    key: Path


class Authority:
    """An authority that signs certificates, with its files in one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._own = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
        self._openssl("req", "-x509", "-new", *self._new_key(self._own), "-subj", f"/CN={name}", "-days", "2")

    @property
    def file(self) -> Path:
        """The file with the authority's certificate."""
        return self._own.cert

    def sign(self, name: str, alternative: str = "") -> Certificate:
        """Return a certificate for this name. `alternative` is a name of a host, such as `DNS:localhost`."""
        made = Certificate(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        signed_by = ("-CA", str(self._own.cert), "-CAkey", str(self._own.key))
        extension = ("-addext", f"subjectAltName = {alternative}") if alternative else ()
        self._openssl("req", "-x509", "-new", *self._new_key(made), "-subj", f"/CN={name}", *signed_by, *extension)
        return made

    def _new_key(self, made: Certificate) -> tuple[str, ...]:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
        return (*curve, "-keyout", str(made.key), "-out", str(made.cert))

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self._folder)
