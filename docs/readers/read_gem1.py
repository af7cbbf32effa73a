"""Read a GEM1 gas mask with the standard library alone; see ../mask-format.md.

python read_gem1.py mask.gem1 > mask.pgm
"""

# ruff: noqa: ANN001, ANN201, B905, INP001, PTH123, T201 - for strangers, and for any Python 3

import struct
import sys
import zlib

HEADER = struct.Struct("<4sBBHHHQQQHHI32s")
NAMES = (
    *("magic", "version", "encoding", "width", "height", "flags"),
    *("frame_seq", "captured_ns", "monotonic_ns"),
    *("score", "state", "payload_bytes", "model_sha256"),
)


def read_gem1(data):
    """Give the header as a dictionary, and the pixels as bytes of 0 and 1, row after row."""
    head = dict(zip(NAMES, HEADER.unpack_from(data)))
    payload = data[HEADER.size :]
    pixels = head["width"] * head["height"]
    if head["magic"] != b"GEM1" or head["version"] != 1 or head["flags"] != 0:
        raise ValueError("not a GEM1 mask of version 1")
    if len(payload) != head["payload_bytes"] or not 0 < pixels <= 1 << 23:
        raise ValueError("the mask is cut off or too large")
    if head["encoding"] == 0:
        bits = "".join(f"{octet:08b}" for octet in payload)[:pixels]
        mask = bytes(bit == "1" for bit in bits)
    else:
        unpacker = zlib.decompressobj()
        runs, gas, length, shift, left = [], 0, 0, 0, pixels
        for octet in unpacker.decompress(payload, pixels + 2):
            length |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                left -= length
                if left < 0:
                    raise ValueError("the runs are longer than the mask")
                runs.append(bytes([gas]) * length)
                gas, length, shift = 1 - gas, 0, 0
        mask = b"".join(runs)
    if len(mask) != pixels:
        raise ValueError("the mask does not fill its pixels")
    head["score"] = None if head["score"] == 65535 else head["score"] / 10000
    return head, mask


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        header, mask = read_gem1(file.read())
    print(header, file=sys.stderr)
    size = f"P5 {header['width']} {header['height']} 1\n"
    sys.stdout.buffer.write(size.encode() + mask)
