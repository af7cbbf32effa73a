"""What `import tensorrt` finds in a process that runs on the CUDA double."""

from tests.cuda_double.tensorrt_double import *  # noqa: F403
from tests.cuda_double.tensorrt_double import __version__  # noqa: F401
