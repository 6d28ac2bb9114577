"""``model-signing`` at work: the library that does all cryptography of signatures.

It is an extra, loaded when a check is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from pilotage.errors import IntegrityError, SourceError, UsageError
from pilotage.fetch.digest import sha256_of
from pilotage.fetch.manifest import FileEntry
from pilotage.fetch.progress import ProgressListener

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SignedByKey:
    """By the owner of a key.

    Attributes:
        key: A file with the public key: PEM, of an elliptic curve (P-256, P-384 or P-521).
    """

    key: Path


@dataclass(frozen=True, slots=True)
class SignedByCertificate:
    """By anyone with a signing certificate of a certificate authority.

    Attributes:
        chain: PEM files with the authority's certificates; at least one.
    """

    chain: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class SignedByIdentity:
    """By who has logged in somewhere (sigstore's keyless signing). Needs the network.

    Attributes:
        identity: An e-mail address, or the URL of a CI workflow.
        issuer: The URL of the OpenID Connect provider that vouches for it.
    """

    identity: str
    issuer: str


Signer = SignedByKey | SignedByCertificate | SignedByIdentity


@dataclass(frozen=True, slots=True)
class SignedList:
    """What was signed.

    Attributes:
        digests: In hex, by path; by ``path:start:stop`` where shards of files were signed. A model
            of one file has ``.`` for its path.
        algorithm: ``sha256``, ``blake2b`` or ``blake3``.
        shard_size: Bytes; None where whole files were signed.
    """

    digests: Mapping[str, str]
    algorithm: str
    shard_size: int | None


class SigningLibrary:
    """``model-signing``, loaded.

    Raises:
        UsageError: It is not installed.
    """

    def __init__(self) -> None:
        try:
            hashing = import_module("model_signing.hashing")
            verifying = import_module("model_signing.verifying")
        except ImportError as error:
            lacking = str(error.name).partition(".")[0]  # it, or one of what it needs
            raise UsageError(
                f"a signature check needs model-signing, and {lacking} is not installed",
                hint="pip install 'pilotage[signing]'",
            ) from error
        self._hashing: Any = hashing
        self._verifying: Any = verifying

    def verifier(self, signer: Signer) -> Any:
        """The library's verifier of a signer.

        Raises:
            UsageError: A key or a certificate is none.
            SourceError: Sigstore's root of trust cannot be had.
        """
        config = self._verifying.Config()
        match signer:
            case SignedByKey(key):
                with _useful([key], "no public key of an elliptic curve in PEM form"):
                    return config.use_elliptic_key_verifier(public_key=key)
            case SignedByCertificate(chain):
                # The library would trust every web server's authority if there were none.
                with _useful(chain, "no certificates in PEM form"):
                    return config.use_certificate_verifier(certificate_chain=chain)
            case SignedByIdentity(identity, issuer):
                try:
                    return config.use_sigstore_verifier(identity=identity, oidc_issuer=issuer)
                except Exception as error:  # a stack of libraries, each with errors of its own
                    raise SourceError(
                        f"sigstore's root of trust cannot be had: {said(error)}",
                        where=f"signature by {identity}",
                        hint="--signed-by needs the network; --signed-by-key and "
                        "--signed-by-certificate do not",
                    ) from error

    def signed_by(self, verifier: Any, root: Path, signature: Path, *, where: str) -> SignedList:
        """The list of files that the signer has signed.

        Args:
            verifier: From `verifier`.
            root: The model's folder; nothing in it is read.
            signature: The file.
            where: The source, for messages.

        Raises:
            IntegrityError: The signature is none, or is not this signer's.
            OSError: It cannot be read.
        """
        handed = _HandedOut()
        printed = StringIO()
        try:
            # Of old signatures it prints a warning, where a path alone must be.
            with redirect_stdout(printed):
                verifier.set_hashing_config(handed).verify(root, signature)
            # Only now has all that the library looks at been in order.
            how = handed.signed.serialization_type
            digests = {
                item.identifier: item.digest.digest_hex
                for item in handed.signed.resource_descriptors()
            }
            # A JSON number without an integer's type on its way through protobuf.
            shard_size = int(how["shard_size"]) if how["method"] == "shards" else None
            signed = SignedList(digests, how["hash_type"], shard_size)
        except OSError:
            raise
        except Exception as error:  # whatever a hostile file makes its parsers raise
            raise broken(where, said(error)) from error
        if text := printed.getvalue().strip():
            _log.warning("%s: %s", where, text[:500])
        return signed

    def digests(
        self,
        signed: SignedList,
        files: Sequence[FileEntry],
        root: Path,
        *,
        single: bool,
        progress: ProgressListener,
    ) -> dict[str, str]:
        """The digests of files, or of their shards, as the signed list would have them.

        Args:
            signed: The list.
            files: What to hash; only one if `single`.
            root: Their folder.
            single: Whether the model is a file, which goes by the name of ``.``.
            progress: Told about it.

        Raises:
            ValueError: The library cannot hash so.
            OSError: A file cannot be read.
        """
        if signed.algorithm == "sha256" and not signed.shard_size:
            return {
                "." if single else file.path: file.sha256 or sha256_of(root / file.path, progress)
                for file in files
            }
        config = self._hashing.Config().set_ignored_paths(paths=(), ignore_git_paths=False)
        # The name that it writes into signatures is not the one that it takes.
        algorithm = {"blake2b": "blake2"}.get(signed.algorithm, signed.algorithm)
        if signed.shard_size:
            config.use_shard_serialization(
                hashing_algorithm=algorithm, shard_size=signed.shard_size
            )
        else:
            config.use_file_serialization(hashing_algorithm=algorithm)
        config.set_allow_symlinks(True)  # the bytes count, wherever a folder's owner keeps them
        paths = [root / file.path for file in files]
        hashed = config.hash(paths[0] if single else root, files_to_hash=paths)
        return {item.identifier: item.digest.digest_hex for item in hashed.resource_descriptors()}


class _HandedOut:
    """Takes the signed list from the library, which compares it but hands it out nowhere.

    It stands for the library's hashing configuration, and for the list of a model's files that
    such a one makes. The comparison, the library's last step, is where the signed list, which has
    been authenticated by then, comes by; what is made of it is decided by `SignatureChecker`.
    """

    signed: Any = None

    def add_ignored_paths(self, **_: Any) -> None:
        """Ignore what the signer would have ignored: it is compared as well."""

    def hash(self, *_: Any, **__: Any) -> _HandedOut:
        """Hash nothing yet."""
        return self

    def __eq__(self, signed: object) -> bool:
        self.signed = signed
        return True

    __hash__ = None  # type: ignore[assignment]


@contextmanager
def _useful(paths: Sequence[Path], wrong: str) -> Iterator[None]:
    """Have what goes wrong in the block said of the files that the user gave."""
    where = ", ".join(map(str, paths))
    if not paths:
        raise UsageError(f"there are {wrong}: none was named")
    try:
        yield
    except OSError as error:
        said_where = str(error.filename or where)
        raise UsageError(f"cannot be read: {error.strerror or error}", where=said_where) from error
    except Exception as error:  # several libraries' parsers
        raise UsageError(f"holds {wrong}", where=where) from error


def said(error: BaseException) -> str:
    """A foreign error's text, on one line and without what a terminal would obey."""
    if type(error).__name__ == "InvalidSignature":
        return "it was not made with this key, or what it signs was changed"
    text = str(error).strip().partition("\n")[0].rstrip(". ")
    return "".join(c if c.isprintable() else "?" for c in text)[:200] or type(error).__name__


def broken(where: str, why: str) -> IntegrityError:
    """The error for a signature that proves nothing."""
    return IntegrityError(
        f"the signature does not hold: {why}",
        where=where,
        hint="The model is not to be trusted, unless another signer or signature was meant",
    )
