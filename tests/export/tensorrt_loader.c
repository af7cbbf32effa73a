/* What the TensorRT Python bindings of every generation look up when they are imported. No factory
   makes anything: with this in place of the libraries the real bindings can be asked which classes,
   members and flags their generation has, on a machine with neither the libraries nor a GPU. */
#define NOTHING(name) void *name(void) { return 0; }

NOTHING(createInferBuilder_INTERNAL)
NOTHING(createInferRuntime_INTERNAL)
NOTHING(createInferRefitter_INTERNAL)
NOTHING(createNvOnnxParser_INTERNAL)
NOTHING(createNvOnnxParserRefitter_INTERNAL)
NOTHING(getBuilderPluginRegistry)
NOTHING(getPluginRegistry)
NOTHING(getNvOnnxParserVersion)
NOTHING(initLibNvInferPlugins)
/* The Caffe and UFF parsers of 8.x, by their C++ names. */
NOTHING(_ZN14nvcaffeparser117createCaffeParserEv)
NOTHING(_ZN14nvcaffeparser123shutdownProtobufLibraryEv)
NOTHING(_ZN11nvuffparser15createUffParserEv)
NOTHING(_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi)
