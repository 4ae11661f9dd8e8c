#include "remuda/model_instance.h"

namespace remuda {

ModelInstance::~ModelInstance() = default;

}  // namespace remuda
