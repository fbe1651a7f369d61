"""Signing in this process, by the `cryptography` package where it is installed: for a host where no child can sign.

It comes last because it is the dearest.  A report of 306 KB on Python 3.11: ssh-keygen or openssl in a child 13 ms of
CPU, half of them the import of `subprocess`, and no memory to speak of; `cryptography` 40 ms and 10 MB.

The package may be of any age, and may be broken: whatever it does, the answer is a signature or ValueError.
"""

import sys
import warnings
from contextlib import contextmanager
from typing import Iterator, Tuple

from . import old_openssh


def create_key() -> Tuple[bytes, str]:
    """Return a new ECDSA P-256 key as OpenSSL writes it: the private half and the public half, both PEM."""
    with _package():
        from cryptography.hazmat.backends import default_backend  # of which versions before 3.1 have to be told
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1(), default_backend())
        private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption())
        public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
        return private, public.decode("ascii").strip()


def sign(private: str, public_key: str, data: bytes) -> bytes:
    """Return the signature over `data` by a key in a file, PEM or OpenSSH's: what OpenSSL or ssh-keygen would give."""
    if not public_key.startswith("-----"):
        return old_openssh.signature(public_key, _sign(private, old_openssh.to_be_signed(data)))
    return _sign(private, data)


def _sign(private: str, data: bytes) -> bytes:
    with _package():
        from cryptography.hazmat.backends import default_backend
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519
        from cryptography.hazmat.primitives.hashes import SHA256

        of_openssh = private.startswith("-----BEGIN OPENSSH ")
        load = serialization.load_ssh_private_key if of_openssh else serialization.load_pem_private_key
        key = load(private.encode("ascii") + b"\n", None, default_backend())
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return key.sign(data, ec.ECDSA(SHA256()))
        raise ValueError("not an Ed25519 key, nor one on P-256")


@contextmanager
def _package() -> Iterator[None]:
    """Let the package be found, say nothing of its age, and fail with ValueError whatever goes wrong in it."""
    path = list(sys.path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sys.path.extend(_site_packages())
            yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of its Rust half is no Exception
        raise ValueError("cryptography: %s" % (str(error) or type(error).__name__)) from error
    finally:
        sys.path[:] = path


def _site_packages() -> Iterator[str]:
    """Yield where packages are installed: the agent runs without (python -S), so that it starts sooner."""
    import site

    yield from site.getsitepackages() if sys.flags.no_site else ()
