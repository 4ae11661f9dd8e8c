// A library that is nobody's backend.
extern "C" int remuda_no_backend() { return 0; }
