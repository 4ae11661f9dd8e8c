target_link_libraries(${target} PUBLIC ${REMUDA_FMT} Threads::Threads PRIVATE ${REMUDA_SPDLOG} simdjson::simdjson)
set_source_files_properties(src/base/version.cc PROPERTIES COMPILE_DEFINITIONS
                            "REMUDA_VERSION=\"${PROJECT_VERSION}\"")
