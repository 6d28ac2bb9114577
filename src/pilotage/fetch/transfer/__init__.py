"""The transfer engine: files of a manifest, in parallel parts, resumable and verified.

`download` plans the missing bytes (`plan`), reads them with a pool of threads (`receiver`, one
part through `stream`), writes them at their place (`target`), records them (`journal`), hashes
them in order meanwhile, and looks for the part at fault when a digest is wrong (`verifier`,
`repair`). A `board` holds what the threads share, a `job` what is known of one file.
"""

from pilotage.fetch.transfer.engine import download
from pilotage.fetch.transfer.options import (
    Retrying,
    TransferFolder,
    TransferOptions,
    TransferProgress,
    Wakeable,
)
from pilotage.fetch.transfer.stream import Cuttable

__all__ = [
    "Cuttable",
    "Retrying",
    "TransferFolder",
    "TransferOptions",
    "TransferProgress",
    "Wakeable",
    "download",
]
