"""The test rig: parties with tones, the hearing matrix, the SIP ladder, walks through a call."""
