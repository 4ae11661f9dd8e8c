include("${CMAKE_CURRENT_LIST_DIR}/linear.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/rowwise.cmake")
