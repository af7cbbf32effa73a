"""Read a GEM1 gas mask with the standard library alone; see ../mask-format.md.

python read_gem1.py mask.gem1 > mask.pgm
"""

# ruff: noqa: ANN001, ANN201, B905, INP001, PTH123, T201 - for strangers, and for any Python 3
import struct
import sys
import zlib

HEADER = struct.Struct("<4sBBHHHQQQHHI32s")
NAMES = "magic version encoding width height flags frame_seq captured_ns monotonic_ns score state"


def read_gem1(data):
    """Give the header as a dictionary, and the pixels as bytes of 0 and 1, row after row."""
    *values, length, sha256 = HEADER.unpack_from(data)
    head = dict(zip(NAMES.split(), values), model_sha256=sha256)
    payload, pixels = data[HEADER.size :], head["width"] * head["height"]
    if (head["magic"], head["version"], head["flags"]) != (b"GEM1", 1, 0):
        raise ValueError("not a GEM1 mask of version 1")
    if len(payload) != length or not 0 < pixels <= 1 << 23:
        raise ValueError("the mask is cut off or too large")
    if head["encoding"] == 0:
        bits = "".join(f"{octet:08b}" for octet in payload)[:pixels]
        mask = bytes(bit == "1" for bit in bits)
    else:
        runs, gas, run, shift, left = [], 0, 0, 0, pixels
        for octet in zlib.decompressobj().decompress(payload, pixels + 2):
            run |= (octet & 0x7F) << shift
            shift += 7
            if octet < 0x80:
                left -= run
                if left < 0:
                    raise ValueError("the runs are longer than the mask")
                runs.append(bytes([gas]) * run)
                gas, run, shift = 1 - gas, 0, 0
        mask = b"".join(runs)
    if len(mask) != pixels:
        raise ValueError("the mask does not fill its pixels")
    head["score"] = None if head["score"] == 65535 else head["score"] / 10000
    return head, mask


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        head, mask = read_gem1(file.read())
    print(head, file=sys.stderr)
    sys.stdout.buffer.write(f"P5 {head['width']} {head['height']} 1\n".encode() + mask)
