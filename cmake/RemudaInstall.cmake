# `cmake --install` puts the binary, the public headers and the libraries where find_package(remuda) finds them.
include(CMakePackageConfigHelpers)

get_property(modules GLOBAL PROPERTY REMUDA_MODULES)
list(REMOVE_ITEM modules remuda_cli_module)

add_library(remuda_library INTERFACE)
set_target_properties(remuda_library PROPERTIES EXPORT_NAME remuda)
target_link_libraries(remuda_library INTERFACE remuda_manager_module)

install(TARGETS remuda_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS remuda_library ${modules} EXPORT remudaTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/remuda)
if(REMUDA_BUILDS_CUDA)
  install(TARGETS remuda_cuda LIBRARY DESTINATION lib/remuda)  # Where the program, in bin, looks for it.
endif()
install(DIRECTORY pretrained/ DESTINATION ${CMAKE_INSTALL_DATADIR}/remuda/models)
install(DIRECTORY include/remuda DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/remuda)
install(EXPORT remudaTargets NAMESPACE remuda:: DESTINATION ${config_dir})
configure_package_config_file(cmake/remudaConfig.cmake.in remudaConfig.cmake INSTALL_DESTINATION ${config_dir})
write_basic_package_version_file(remudaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/remudaConfig.cmake"
              "${CMAKE_CURRENT_BINARY_DIR}/remudaConfigVersion.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/Findutf8proc.cmake" DESTINATION ${config_dir})
