//! Delta debugging: the smallest part of a list that a test accepts.

/// Takes pieces away, large ones first, for as long as `accepts` says yes to what is left. The whole list is taken as accepted, and
/// no proper part of the result that lacks a single element was.
pub(super) fn smallest<T: Clone>(all: &[T], accepts: &mut dyn FnMut(&[T]) -> bool) -> Vec<T> {
    let mut best = all.to_vec();
    let mut size = best.len().div_ceil(2);
    while size > 0 && best.len() > 1 {
        let mut first = 0;
        let mut found = false;
        while first < best.len() && best.len() > 1 {
            let mut left = best.clone();
            left.drain(first..(first + size).min(best.len()));
            if !left.is_empty() && accepts(&left) {
                best = left;
                found = true;
            } else {
                first += size;
            }
        }
        // Single elements are tried again until none can go.
        if size > 1 || !found {
            size /= 2;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_all_that_stays() {
        let all: Vec<u32> = (0..50).collect();
        let needs = |needed: &[u32]| smallest(&all, &mut |part| needed.iter().all(|one| part.contains(one)));
        assert_eq!(needs(&[7]), [7]);
        assert_eq!(needs(&[0, 17, 49]), [0, 17, 49]);
        assert_eq!(needs(&all), all);
    }

    #[test]
    fn elements_that_need_one_another_can_go_in_turn() {
        // 3 is needed only while 4 is there, so it can go once 4 has.
        let accepts = |part: &[u32]| part.contains(&1) && (!part.contains(&4) || part.contains(&3));
        assert_eq!(smallest(&[1, 2, 3, 4], &mut |part| accepts(part)), [1]);
    }
}
