//! Identities of objects.

/// An identity that no other object has.
pub(crate) fn new_uid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    // RFC 9562: version 4, variant 1.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
