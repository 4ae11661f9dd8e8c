target_link_libraries(${target} PRIVATE ${REMUDA_TOML})
