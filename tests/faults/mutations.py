"""Random mutations of files: of their bytes, and of the structure of their format."""

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import odd
import yaml
from picture_files import png_chunk

Rng = np.random.Generator
Damage = Callable[[list[bytes], Rng], bytes]  # (undamaged files of one kind, generator) -> damaged file

INTERESTING = (0, 1, 2**15, 2**31 - 1, 2**32 - 1, -1)
HEAD = 600  # bytes; headers are here, and deserve more mutations than pixel data


def pick(options: list | tuple, rng: Rng):
    return options[rng.integers(len(options))]


def random_offset(data: bytes, rng: Rng) -> int:
    """Return an offset, half of the time within the first HEAD bytes."""
    return int(rng.integers(max(1, min(len(data), HEAD) if rng.random() < 0.5 else len(data))))


def random_span(data: bytes, rng: Rng) -> tuple[int, int]:
    """Return start and stop of a span whose length is distributed log-uniformly."""
    start = random_offset(data, rng)
    return start, min(len(data), start + int(2 ** rng.uniform(0, 12)))


def flip_bits(data: bytes, other: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9) if data else 0):
        changed[random_offset(data, rng)] ^= 1 << rng.integers(8)
    return bytes(changed)


def overwrite(data: bytes, other: bytes, rng: Rng) -> bytes:
    start, stop = random_span(data, rng)
    run = pick((bytes(stop - start), b"\xff" * (stop - start), rng.bytes(stop - start)), rng)
    return data[:start] + run + data[stop:]


def truncate(data: bytes, other: bytes, rng: Rng) -> bytes:
    return data[: rng.integers(len(data) + 1)]


def duplicate(data: bytes, other: bytes, rng: Rng) -> bytes:
    start, stop = random_span(data, rng)
    at = random_offset(data, rng)
    return data[:at] + data[start:stop] + data[at:]


def delete(data: bytes, other: bytes, rng: Rng) -> bytes:
    start, stop = random_span(data, rng)
    return data[:start] + data[stop:]


def splice(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Join the beginning of one file to the end of another."""
    return data[: random_offset(data, rng)] + other[random_offset(other, rng) :]


def write_integer(data: bytes, other: bytes, rng: Rng) -> bytes:
    """Write an integer that often triggers bugs, in either byte order, at a multiple of its size."""
    size, value = pick((1, 2, 4, 8), rng), pick(INTERESTING, rng)
    number = (value % 256**size).to_bytes(size, pick(("little", "big"), rng))
    at = random_offset(data, rng) // size * size
    return data[:at] + number + data[at + size :]


OPERATORS = (
    *(flip_bits, flip_bits, overwrite, truncate, duplicate, delete, splice, write_integer, write_integer),
)


def mutate_bytes(seeds: list[bytes], rng: Rng) -> bytes:
    """Apply one or more mutations that ignore the format."""
    data = pick(seeds, rng)
    for _ in range(rng.geometric(0.5)):
        data = pick(OPERATORS, rng)(data, pick(seeds, rng), rng)
    return data


def mutate_png(seeds: list[bytes], rng: Rng) -> bytes:
    """Damage chunks, also within compressed data, and correct their checksums."""
    if rng.random() < 0.2:
        return mutate_bytes(seeds, rng)
    chunks = png_chunks(pick(seeds, rng))
    lines = zlib.decompress(dict(chunks)[b"IDAT"])
    for _ in range(rng.integers(1, 3)):
        number = rng.integers(len(chunks))
        kind, body = chunks[number]
        if kind == b"IDAT" and rng.random() < 0.7:
            body = zlib.compress(mutate_bytes([lines], rng))
        elif rng.random() < 0.8:
            body = mutate_bytes([body], rng)
        else:
            kind = pick(CHUNK_KINDS, rng)
        chunks[number] = kind, body
    if rng.random() < 0.2:
        chunks.insert(rng.integers(len(chunks)), pick(chunks, rng))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


CHUNK_KINDS = tuple(b"IHDR PLTE IDAT IEND tRNS iCCP gAMA eXIf zTXt iTXt acTL fdAT".split())


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return (kind, body) of each chunk of an undamaged file, with the image data as one chunk."""
    chunks, at = [], 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IDAT" and chunks[-1][0] == b"IDAT":
            chunks[-1] = kind, chunks[-1][1] + body
        else:
            chunks.append((kind, body))
        at += 12 + size
    return chunks


def mutate_tiff(seeds: list[bytes], rng: Rng) -> bytes:
    """Change tags of the first directory: number, type, count or value."""
    data = pick(seeds, rng)
    if rng.random() < 0.3:
        return mutate_bytes(seeds, rng)
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    field, counter, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    (at,) = struct.unpack_from(order + field, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + counter, data, at)
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        entry = at + struct.calcsize(counter) + size * int(rng.integers(count))
        part = rng.integers(6)
        if part == 0:
            struct.pack_into(order + "H", changed, entry, int(rng.integers(254, 352)))
        elif part == 1:
            struct.pack_into(order + "H", changed, entry + 2, int(rng.integers(20)))
        else:
            place = entry + (4 if part == 2 else size - struct.calcsize(field))
            value = pick((*INTERESTING, int(rng.integers(70000)), int(rng.integers(len(data)))), rng)
            struct.pack_into(order + field, changed, place, value % 256 ** struct.calcsize(field))
    return mutate_bytes([bytes(changed)], rng) if rng.random() < 0.2 else bytes(changed)


PLACEHOLDER = "PUT_HERE"  # replaced by text that a serialiser would not write


def nodes(tree: object) -> list[tuple]:
    """Return (container, key) of every value in a tree."""
    places, pending = [], [tree]
    while pending:
        node = pending.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            pending.append(value)
    return places


def mutate_tree(tree: object, rng: Rng, values: tuple = odd.VALUES) -> object:
    """Return a copy with some values removed, renamed, replaced, wrapped, copied or set to PLACEHOLDER."""
    tree = deepcopy(tree)
    for _ in range(rng.geometric(0.6)):
        if not (places := nodes(tree)):
            return tree
        node, key = pick(places, rng)
        (other_node, other_key), kind, value = pick(places, rng), rng.integers(8), node[key]
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, dict):
            names = (f"{key}x", str(key)[:-1], str(other_key), "", "-", 3, None, True, "x" * 3000, "a\nb")
            node[pick(names, rng)] = node.pop(key)
        elif kind == 2:
            node[key] = pick(([value], {"a": value}, [value, value], str(value)), rng)
        elif kind == 3:
            node[key] = deepcopy(other_node[other_key])
        elif kind == 4:
            node[key] = PLACEHOLDER
        elif kind == 5 and isinstance(value, int | float):
            node[key] = pick((-value, value * 10**9, value + 0.5, value // 1, str(value)), rng)
        else:
            node[key] = deepcopy(pick(values, rng))
    return tree


def mutate_yaml(seeds: list[bytes], rng: Rng) -> bytes:
    """Mutate the parsed tree, or the text."""
    if rng.random() < 0.3:
        return mutate_bytes(seeds, rng)
    if rng.random() < 0.02:
        return pick(odd.YAML, rng).encode(errors="surrogatepass")
    tree = mutate_tree(yaml.load(pick(seeds, rng), yaml.CSafeLoader), rng)
    flow = bool(rng.random() < 0.3)
    text = yaml.dump(tree, Dumper=yaml.CSafeDumper, sort_keys=False, default_flow_style=flow)
    data = text.replace(PLACEHOLDER, pick(odd.YAML, rng)).encode()
    return mutate_bytes([data], rng) if rng.random() < 0.1 else data


def mutate_safetensors(seeds: list[bytes], rng: Rng) -> bytes:
    """Mutate fields of the header and correct its length."""
    if rng.random() < 0.2:
        return mutate_bytes(seeds, rng)
    data = pick(seeds, rng)
    (size,) = struct.unpack("<Q", data[:8])
    tree = json.loads(data[8 : 8 + size])
    if rng.random() < 0.4 and "__metadata__" in tree:
        tree["__metadata__"] = mutate_tree(tree["__metadata__"], rng, odd.SAFETENSORS)
    else:
        tree = mutate_tree(tree, rng, odd.SAFETENSORS)
    header = json.dumps(tree).replace(f'"{PLACEHOLDER}"', pick(odd.JSON, rng)).encode()
    body = mutate_bytes([data[8 + size :]], rng) if rng.random() < 0.2 else data[8 + size :]
    return struct.pack("<Q", len(header)) + header + body


def mutate_zip(seeds: list[bytes], rng: Rng) -> bytes:
    """Damage or rename the archive's files, with valid checksums."""
    data = pick(seeds, rng)
    if rng.random() < 0.25 or data[:2] != b"PK":
        return mutate_bytes(seeds, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    pickles = [number for number, (name, _) in enumerate(entries) if name.endswith(".pkl")]
    for _ in range(rng.integers(1, 3)):
        # half of the time the pickle, which describes the other files
        number = pickles[0] if pickles and rng.random() < 0.5 else rng.integers(len(entries))
        name, content = entries[number]
        if rng.random() < 0.9:
            entries[number] = name, mutate_bytes([content], rng)
        else:
            entries[number] = pick(entries, rng)[0] + pick(("", "x"), rng), content
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in dict(entries).items():
            archive.writestr(name, content)
    return packed.getvalue()


def mutate_npy(seeds: list[bytes], rng: Rng) -> bytes:
    """Mutate the text of the header and correct its length."""
    data = pick(seeds, rng)
    if rng.random() < 0.1:
        return data[:130] + overwrite(data[130:], b"", rng)  # counts only
    if rng.random() < 0.2:
        return mutate_bytes(seeds, rng)
    if data[:6] != b"\x93NUMPY":
        return mutate_zip([data], rng)
    size = struct.unpack("<H", data[8:10])[0]
    text = data[10 : 10 + size].decode().rstrip()
    for _ in range(rng.integers(1, 3)):
        if rng.random() < 0.7:  # replace a value
            values = list(re.finditer(r"'[^']*'|\([^()]*\)|True|False|\d+", text))
            match = pick(values, rng) if values else None
            start, stop = match.span() if match else (0, 0)
        else:
            start = rng.integers(len(text) + 1)
            stop = start + rng.integers(3)
        text = text[:start] + pick(odd.NPY, rng) + text[stop:]
    version = int(rng.integers(1, 4)) if rng.random() < 0.8 else int(rng.integers(256))
    header = text.encode("latin1" if version < 3 else "utf8", errors="replace")
    if rng.random() < 0.9:
        header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    length = struct.pack("<H", len(header) % 65536) if version == 1 else struct.pack("<I", len(header))
    return data[:6] + bytes([version, 0]) + length + header + data[10 + size :]
