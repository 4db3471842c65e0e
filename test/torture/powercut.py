"""What a power cut leaves: the record that powercut.c made of a folder's files, turned back into files.

Synced bytes are there. Of what was not synced the disk has none, all, or any part, in any order, cut at its sectors of 512 bytes. A new name,
a removed or changed one is there once its folder or, of a new one, the file itself was synced (as ext4 and xfs have it); of the others the
first few are, in their order."""

import pathlib
import struct

HEAD = struct.Struct("=IIIIQ")
CREATE, WRITE, TRUNCATE, SYNC, UNLINK, RENAME = range(1, 7)
SECTOR = 512


class File:
    def __init__(self, data=b""):
        self.durable = bytearray(data)
        self.pending = []  # (offset, bytes) or (size, None)

    def apply(self, data, change):
        offset, written = change
        if written is None:
            del data[offset:]
            data.extend(bytes(offset - len(data)))
        else:
            data.extend(bytes(max(0, offset - len(data))))
            data[offset:offset + len(written)] = written

    def sync(self):
        for change in self.pending:
            self.apply(self.durable, change)
        self.pending = []

    def after_cut(self, moments):
        data = bytearray(self.durable)
        luck = moments.choice((0.0, 1.0, moments.random()))
        for offset, written in self.pending:
            if written is None:
                if moments.random() < luck:
                    self.apply(data, (offset, None))
                continue
            begin = 0
            while begin < len(written):
                size = SECTOR - (offset + begin) % SECTOR
                if moments.random() < luck:
                    self.apply(data, (offset + begin, written[begin:begin + size]))
                begin += size
        return data


def records(log):
    data, at = memoryview(log), 0
    while at + HEAD.size <= len(data):
        change, path_size, data_size, _, offset = HEAD.unpack_from(data, at)
        end = at + HEAD.size + path_size + data_size
        if end > len(data):
            return  # the cut came while this one was being recorded
        path = bytes(data[at + HEAD.size:at + HEAD.size + path_size]).decode()
        yield change, path, offset, bytes(data[end - data_size:end])
        at = end


class Disk:
    """The files below @folder, with its content now as what is durable."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.names = {str(path): File(path.read_bytes()) for path in self.folder.rglob("*")
                      if path.is_file() and not path.name.endswith("-shm")}
        self.durable_names = dict(self.names)
        self.pending_names = []
        self.syncs = self.unsynced = 0

    def name(self, names, change):
        kind, path, other = change
        if kind == CREATE:
            names[path] = other
        elif kind == UNLINK:
            names.pop(path, None)
        elif path in names:
            names[other] = names.pop(path)

    def take(self, change, path, offset, data):
        if change in (CREATE, UNLINK, RENAME):
            todo = (change, path, File() if change == CREATE else data.decode())
            self.name(self.names, todo)
            self.pending_names.append(todo)
        elif change == SYNC and path in self.names:
            self.syncs += 1
            self.names[path].sync()
            self.sync_names(lambda todo: todo[0] == CREATE and todo[1] == path)
        elif change == SYNC:  # a folder
            self.syncs += 1
            self.sync_names(lambda todo: str(pathlib.Path(todo[1]).parent) == path.rstrip("/"))
        elif path in self.names:
            self.names[path].pending.append((offset, data if change == WRITE else None))

    def sync_names(self, is_meant):
        """Up to the last that is meant: a journalled file system keeps the order of names."""
        last = max((i for i, todo in enumerate(self.pending_names) if is_meant(todo)), default=-1)
        for todo in self.pending_names[:last + 1]:
            self.name(self.durable_names, todo)
        del self.pending_names[:last + 1]

    def replay(self, log):
        for record in records(log):
            self.take(*record)
        self.unsynced = sum(len(file.pending) for file in self.names.values())

    def after_cut(self, moments, folder):
        """Write what is left to @folder, which must be empty."""
        names = dict(self.durable_names)
        for todo in self.pending_names[:moments.randint(0, len(self.pending_names))]:
            self.name(names, todo)
        for path, file in names.items():
            target = pathlib.Path(folder) / pathlib.Path(path).relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.after_cut(moments))
            target.chmod(0o600)
