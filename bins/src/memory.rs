//! How the process uses memory.

/// Buffers from this size on, in bytes, go back to the system as soon as they are freed. Smaller ones are too frequent.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: i32 = 1 << 20;

/// Has large buffers given back at once.
///
/// Without it, glibc adapts to the first large statement that is freed and keeps the memory of later ones on its heap,
/// where whatever small thing comes to lie behind them holds them for good: 24 statements of 8 MiB left 224 MiB behind.
/// Call it before there are other threads.
pub fn give_large_buffers_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes two numbers, keeps no reference to anything of ours, and may be called at any time; glibc asks
    // only that no other thread allocates meanwhile for the setting to hold for all that follows.
    let status = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) };
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    debug_assert_eq!(status, 1, "the threshold is within glibc's limits");
}
