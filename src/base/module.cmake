target_link_libraries(${target} PUBLIC fmt::fmt Threads::Threads PRIVATE spdlog::spdlog simdjson::simdjson)
set_source_files_properties(src/base/version.cc PROPERTIES COMPILE_DEFINITIONS
                            "REMUDA_VERSION=\"${PROJECT_VERSION}\"")
