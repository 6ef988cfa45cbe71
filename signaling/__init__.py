"""How a call arrives: SDP and ICE, RTP and Opus, the messages beside the audio."""
