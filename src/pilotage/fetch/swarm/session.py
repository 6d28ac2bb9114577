"""This node among its peers: one libtorrent session, one torrent a chunk.

Settings that were found to be needed on loopback and in a data centre: no uTP (its congestion
control gives way to everything else), no encryption, no DHT, local discovery or port mapping (the
peers are known), every peer unchoked (they are all ours, and libtorrent would look again every
15 s only), and many connections at once as soon as a chunk is announced.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pilotage.errors import ResourceError, UsageError
from pilotage.fetch.swarm.layout import Layout
from pilotage.fetch.swarm.metainfo import ChunkRecord, torrent

if TYPE_CHECKING:
    import libtorrent

Address = tuple[str, int]

MAX_PEERS_A_CHUNK: Final = 50
"""Connections a chunk: enough for pieces to be everywhere in two or three hops."""

_NO_MMAP: Final = 2**31 - 1
_UNWANTED: Final = 0
_WANTED: Final = 4


class PeerSession:
    """Gets and gives chunks.

    Args:
        layout: The model's.
        paths: Where each of the layout's files lies. They have their full sizes already.
        secret: The fleet's token.
        listen: Address and port to listen on; port 0 takes a free one.
        upload_rate: Bytes a second to all peers together, at most; 0 for no bound.
        download_rate: Bytes a second from all peers together, at most; 0 for no bound.

    Raises:
        UsageError: libtorrent is not installed.
        ResourceError: The port cannot be listened on.
    """

    def __init__(
        self,
        layout: Layout,
        paths: Sequence[Path],
        *,
        secret: bytes = b"",
        listen: Address = ("0.0.0.0", 0),  # noqa: S104 - a peer is there to be reached
        upload_rate: int = 0,
        download_rate: int = 0,
    ) -> None:
        self._lt: Any = load_libtorrent()
        self._layout = layout
        self._secret = secret
        self._paths = {number: str(path.absolute()) for number, path in enumerate(paths)}
        self._folder = str(paths[0].absolute().parent)
        self._handles: dict[int, libtorrent.torrent_handle] = {}
        self._by_hash: dict[str, int] = {}
        self._whole: set[int] = set()
        self._peers: frozenset[Address] = frozenset()
        self._session: libtorrent.session = self._lt.session(
            _settings(self._lt, listen, upload_rate, download_rate), flags=0
        )

        self._session.add_extension("smart_ban")
        self._bound_private_addresses_too()
        self._admit(())
        self.port: int = self._session.listen_port()
        if not self.port:
            raise ResourceError(
                "peers cannot be listened for",
                where=f"{listen[0]}:{listen[1]}",
                hint="Choose another address or port with PILOTAGE_SWARM_LISTEN",
            )

    def know(self, peers: Iterable[Address]) -> None:
        """Take these for the peers of all chunks, and connections from nobody else."""
        known = frozenset(peers)
        if known == self._peers:
            return
        fresh, self._peers = known - self._peers, known
        self._admit(known)
        for chunk, handle in self._handles.items():
            if chunk not in self._whole:
                for peer in fresh:
                    handle.connect_peer(peer)

    def add(self, record: ChunkRecord, *, have: bool) -> None:
        """Begin to share a chunk.

        Args:
            record: Its hashes.
            have: All its bytes are in the files; False to have them from peers.
        """
        if record.chunk in self._handles:
            return
        mine = self._layout.pieces_of(record.chunk)
        params = self._lt.add_torrent_params()
        params.ti = self._lt.torrent_info(torrent(self._layout, record, self._secret))
        params.save_path = self._folder
        params.renamed_files = self._paths
        params.piece_priorities = [
            _WANTED if piece in mine else _UNWANTED for piece in range(self._layout.pieces)
        ]
        params.peers = sorted(self._peers)
        params.max_connections = MAX_PEERS_A_CHUNK
        flags = self._lt.torrent_flags
        params.flags = flags.apply_ip_filter | flags.no_verify_files
        if have:
            self._whole.add(record.chunk)
            params.have_pieces = [piece in mine for piece in range(self._layout.pieces)]
        handle = self._session.add_torrent(params)
        self._handles[record.chunk] = handle
        self._by_hash[str(handle.info_hashes().v1)] = record.chunk

    def forget(self, chunk: int) -> None:
        """Stop sharing a chunk; its bytes stay in the files."""
        handle = self._handles.pop(chunk, None)
        if handle is not None:
            self._whole.discard(chunk)
            self._by_hash.pop(str(handle.info_hashes().v1), None)
            self._session.remove_torrent(handle)

    def finished(self) -> tuple[list[int], str | None]:
        """The chunks whose last piece has arrived and been written since the last call.

        Returns:
            Their numbers, and what went wrong with the disk, if anything did.
        """
        done: list[int] = []
        failure: str | None = None
        for alert in self._session.pop_alerts():
            if isinstance(alert, self._lt.torrent_finished_alert):
                # Its last pieces may still be in memory only, where nobody else sees them.
                alert.handle.flush_cache()
            elif isinstance(alert, self._lt.cache_flushed_alert):
                chunk = self._by_hash.get(str(alert.handle.info_hashes().v1))
                if chunk is not None and chunk not in self._whole:
                    self._whole.add(chunk)
                    done.append(chunk)
            elif isinstance(alert, self._lt.torrent_error_alert | self._lt.file_error_alert):
                failure = alert.error.message()
        return done, failure

    def wait(self, seconds: float) -> None:
        """Return when something has happened, at the latest after ``seconds``."""
        self._session.wait_for_alert(int(seconds * 1000))

    def missing(self, chunk: int) -> int:
        """Bytes of an added chunk that have not arrived yet."""
        handle = self._handles[chunk]
        status = handle.status(0)
        return int(status.total_wanted - status.total_wanted_done)

    def close(self) -> None:
        """Leave the swarm; what was written stays."""
        self._session.pause()
        self._handles.clear()
        del self._session

    def _bound_private_addresses_too(self) -> None:
        """Without this no rate limit holds for addresses such as 10.0.0.1 or 127.0.0.1."""
        classes = self._lt.ip_filter()
        everybody = 1 << self._lt.session.global_peer_class_id
        classes.add_rule("0.0.0.0", "255.255.255.255", everybody)  # noqa: S104 - a range
        classes.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", everybody)
        self._session.set_peer_class_filter(classes)

    def _admit(self, peers: Iterable[Address]) -> None:
        allowed = self._lt.ip_filter()
        allowed.add_rule("0.0.0.0", "255.255.255.255", 1)  # noqa: S104 - a range, not a socket
        allowed.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1)
        for host, _ in peers:
            allowed.add_rule(host, host, 0)
        self._session.set_ip_filter(allowed)


def load_libtorrent() -> Any:
    """The libtorrent module.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import libtorrent as lt  # noqa: PLC0415 - an extra: nothing else may need it
    except ImportError as error:
        raise UsageError(
            "sharing between nodes needs libtorrent, which is not installed",
            where="swarm://",
            hint="Install it with: pip install 'pilotage[swarm]'",
        ) from error
    return lt


def _settings(lt: Any, listen: Address, upload_rate: int, download_rate: int) -> dict[str, Any]:
    host, port = listen
    literal = f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    categories = lt.alert.category_t
    return {
        "listen_interfaces": f"{literal}:{port}",
        "user_agent": "pilotage",
        "alert_mask": int(
            categories.error_notification
            | categories.status_notification
            | categories.storage_notification
        ),
        # Only the peers that the rendezvous names.
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_ip_notifier": False,
        "max_retry_port_bind": 0,
        # Plain TCP.
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "out_enc_policy": int(lt.enc_policy.disabled),
        "in_enc_policy": int(lt.enc_policy.disabled),
        "mixed_mode_algorithm": 0,
        "rate_limit_ip_overhead": False,
        "tick_interval": 100,  # bounds how long a rate limit holds back a small message
        "send_buffer_low_watermark": 512 << 10,
        "send_buffer_watermark": 4 << 20,
        "upload_rate_limit": upload_rate,
        "download_rate_limit": download_rate,
        # Everybody at once: a chunk lives for seconds.
        "allow_multiple_connections_per_ip": True,
        "torrent_connect_boost": MAX_PEERS_A_CHUNK,
        "connection_speed": 500,
        "connections_limit": 2000,
        "min_reconnect_time": 1,
        "max_failcount": 1000,
        "unchoke_slots_limit": -1,
        "listen_queue_size": 256,
        "request_queue_time": 1,
        # Short: what is asked of one peer early cannot come from a nearer one later.
        "max_out_request_queue": 32,
        "close_redundant_connections": True,
        # Files are read and written, not mapped: a full disk is then an error and not a SIGBUS,
        # and network filesystems are safe.
        "mmap_file_size_cutoff": _NO_MMAP,
        "disk_write_mode": 1,
        "aio_threads": 4,
        "hashing_threads": 2,
        "file_pool_size": 200,
    }
