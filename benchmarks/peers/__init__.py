"""edgesearch beside other systems; README.md says how and with what choices."""
