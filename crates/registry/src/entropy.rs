//! Where random names and uids come from: the kernel, or a seed in simulations.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub struct Entropy(Source);

#[derive(Debug)]
enum Source {
    Kernel,
    Seeded(AtomicU64),
}

impl Entropy {
    pub fn kernel() -> Self {
        Entropy(Source::Kernel)
    }

    pub fn seeded(seed: u64) -> Self {
        Entropy(Source::Seeded(AtomicU64::new(seed)))
    }

    pub fn next(&self) -> u64 {
        match &self.0 {
            Source::Kernel => {
                let mut bytes = [0; 8];
                rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).expect("eight bytes come whole and at once");
                u64::from_le_bytes(bytes)
            }
            // SplitMix64: each step is a fixed odd stride, then mixed.
            Source::Seeded(state) => {
                const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
                let mut z = state.fetch_add(STRIDE, Ordering::Relaxed).wrapping_add(STRIDE);
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
        }
    }

    /// A version 4 UUID.
    pub fn uid(&self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }
}
