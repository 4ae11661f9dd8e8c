#include "cli/run.h"

int main(int argc, char** argv) { return remuda::cli::run(argc, argv); }
