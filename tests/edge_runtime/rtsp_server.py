"""An RTSP server of its own for the tests; runs under the system's Python, which has GStreamer.

Usage: python3 rtsp_server.py [USER PASSWORD]; prints its port, serves /live, a moving test picture.
       python3 rtsp_server.py --pictures PORT; serves what comes on standard input: of each picture
       width and height, 16 bits each, big end first, then its BGR bytes.
"""

import struct
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURES = (
    "( appsrc name=pictures is-live=true format=time do-timestamp=true max-bytes=4000000 "
    "leaky-type=downstream ! videoconvert ! video/x-raw,format=I420,colorimetry=1:4:0:0 "
    "! jpegenc quality=90 "
    "! rtpjpegpay name=pay0 )"
)


def serve_pictures(factory):
    """Hand pictures from standard input to whoever looks; end with the input."""
    looking = []

    def configured(_factory, media):
        source = media.get_element().get_child_by_name("pictures")
        looking[:] = [source]

    factory.connect("media-configure", configured)
    caps, size = None, None
    pipe = sys.stdin.buffer
    while len(head := pipe.read(4)) == 4:
        shape = struct.unpack(">HH", head)
        data = pipe.read(shape[0] * shape[1] * 3)
        if shape != size:
            size = shape
            caps = Gst.Caps.from_string(
                f"video/x-raw,format=BGR,width={size[0]},height={size[1]},framerate=0/1"
            )
        for source in looking:
            source.set_property("caps", caps)
            source.emit("push-buffer", Gst.Buffer.new_wrapped(data))
    loop.quit()


Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
pictures = sys.argv[1:2] == ["--pictures"]
server.set_service(sys.argv[2] if pictures else "0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    PICTURES
    if pictures
    else "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=160,height=120,"
    "framerate=15/1 ! videoconvert ! video/x-raw,format=I420 ! jpegenc ! rtpjpegpay name=pay0 )"
)
factory.set_shared(True)
if len(sys.argv) > 2 and not pictures:
    user, password = sys.argv[1:3]
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)  # noqa: FBT003 - C API
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)  # noqa: FBT003 - C API
    factory.set_permissions(permissions)
server.get_mount_points().add_factory("/live", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)  # noqa: T201
loop = GLib.MainLoop()
if pictures:
    threading.Thread(target=serve_pictures, args=(factory,), daemon=True).start()
loop.run()
