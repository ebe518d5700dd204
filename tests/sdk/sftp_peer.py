"""An SFTP server by asyncssh, run as ``python -m tests.sdk.sftp_peer FOLDER``: prints its port and keys as JSON.

Levers are files beside the folder: ``slow`` makes each read take three seconds, ``lose`` hangs up after a rename.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import asyncssh

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
HOST_KEY, USER_KEY = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))


class Account(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("mall", "secret")

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: Any) -> bool:
        return bool(key == USER_KEY.convert_to_public())


class Files(asyncssh.SFTPServer):
    def __init__(self, channel: Any) -> None:
        self._channel = channel
        super().__init__(channel, chroot=str(FOLDER))

    async def read(self, file: Any, offset: int, size: int) -> Any:
        await asyncio.sleep(3 if (FOLDER.parent / "slow").exists() else 0)
        return super().read(file, offset, size)

    def posix_rename(self, old: bytes, new: bytes) -> None:
        super().posix_rename(old, new)
        if (FOLDER.parent / "lose").exists():
            self._channel.get_connection().abort()


async def serve() -> None:
    server = await asyncssh.create_server(Account, "127.0.0.1", 0, server_host_keys=[HOST_KEY], sftp_factory=Files)
    about = {
        "port": server.sockets[0].getsockname()[1],
        "host_key": HOST_KEY.export_public_key().decode().strip(),
        "other_key": USER_KEY.export_public_key().decode().strip(),
        "user_key": USER_KEY.export_private_key("openssh").decode(),
    }
    print(json.dumps(about), flush=True)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(serve())
