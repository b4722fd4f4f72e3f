//! Who a container runs as, by the words of its own `/etc/passwd` and `/etc/group`.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::spec::{SupplementalGroupsPolicy, User};
use crate::status::ResolvedUser;

/// Larger account files are an attack on the node's memory, not an image.
const ACCOUNT_FILE_BYTES_MAX: u64 = 4 << 20;

/// Looks `user` up in the tree below `root`; links in it cannot lead out of it. The error is a sentence.
pub fn resolve_user(root: impl AsFd, user: &User) -> Result<ResolvedUser, String> {
    resolve(user, &account_file(&root, "etc/passwd"), &account_file(&root, "etc/group"))
}

/// A missing file is an empty one: images from scratch have none.
fn account_file(root: impl AsFd, path: &str) -> String {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let Ok(fd) = openat2(root, path, flags, Mode::empty(), resolve) else { return String::new() };
    let mut bytes = Vec::new();
    match File::from(fd).take(ACCOUNT_FILE_BYTES_MAX).read_to_end(&mut bytes) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: Vec<&'a str>,
}

fn resolve(user: &User, passwd: &str, group: &str) -> Result<ResolvedUser, String> {
    let accounts: Vec<Account<'_>> = passwd.lines().filter_map(account).collect();
    let groups: Vec<Group<'_>> = group.lines().filter_map(parse_group).collect();
    let (who, own_group) = match user.user.split_once(':') {
        Some((who, own_group)) => (who, Some(own_group)),
        None => (user.user.as_str(), None),
    };
    let uid = if who.is_empty() { Some(0) } else { who.parse::<u32>().ok() };
    let account = accounts.iter().find(|account| if let Some(uid) = uid { account.uid == uid } else { account.name == who });
    let uid = match (uid, account) {
        (Some(uid), _) => uid,
        (None, Some(account)) => account.uid,
        (None, None) => return Err(format!("unable to find user {who}: no matching entries in passwd file")),
    };
    let gid = match (user.gid, own_group.filter(|name| !name.is_empty())) {
        (Some(gid), _) => gid,
        (None, Some(name)) => {
            match name.parse::<u32>().ok().or_else(|| groups.iter().find(|group| group.name == name).map(|group| group.gid)) {
                Some(gid) => gid,
                None => return Err(format!("unable to find group {name}: no matching entries in group file")),
            }
        }
        (None, None) => account.map_or(0, |account| account.gid),
    };
    let mut all = vec![gid];
    all.extend(&user.supplemental_groups);
    if let (SupplementalGroupsPolicy::Merge, Some(account)) = (user.supplemental_groups_policy, account) {
        all.extend(groups.iter().filter(|group| group.members.contains(&account.name)).map(|group| group.gid));
    }
    all.sort_unstable();
    all.dedup();
    let home = account.map(|account| account.home).filter(|home| !home.is_empty()).unwrap_or("/");
    Ok(ResolvedUser { uid, gid, groups: all, home: home.to_string() })
}

fn account(line: &str) -> Option<Account<'_>> {
    let fields: Vec<&str> = line.split(':').collect();
    Some(Account { name: fields.first()?, uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()?, home: fields.get(5)? })
}

fn parse_group(line: &str) -> Option<Group<'_>> {
    let fields: Vec<&str> = line.split(':').collect();
    let members = fields.get(3).map(|list| list.trim().split(',').collect()).unwrap_or_default();
    Some(Group { name: fields.first()?, gid: fields.get(2)?.parse().ok()?, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:33:www:/var/www:/bin/false\napp:x:1000:1001::/home/app:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:\nadm:x:4:app,www\napps:x:1001:\n";

    #[track_caller]
    fn check(user: &str, gid: Option<u32>, more: &[u32], policy: SupplementalGroupsPolicy, expected: &str) {
        let user = User { user: user.to_string(), gid, supplemental_groups: more.to_vec(), supplemental_groups_policy: policy };
        let actual = match resolve(&user, PASSWD, GROUP) {
            Ok(user) => format!("{}:{} {:?} {}", user.uid, user.gid, user.groups, user.home),
            Err(error) => error,
        };
        assert_eq!(actual, expected);
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        use SupplementalGroupsPolicy::{Merge, Strict};
        check("", None, &[], Merge, "0:0 [0] /root");
        check("1000", None, &[], Merge, "1000:1001 [4, 1001] /home/app");
        check("app", None, &[7], Strict, "1000:1001 [7, 1001] /home/app");
        check("app", Some(5), &[], Merge, "1000:5 [4, 5] /home/app");
        check("www:adm", None, &[], Strict, "33:4 [4] /var/www");
        check("4242:77", None, &[4242], Merge, "4242:77 [77, 4242] /");
        check("4242", None, &[], Merge, "4242:0 [0] /");
        check("nobody", None, &[], Merge, "unable to find user nobody: no matching entries in passwd file");
        check("app:nogroup", None, &[], Merge, "unable to find group nogroup: no matching entries in group file");
        check("-1", None, &[], Merge, "unable to find user -1: no matching entries in passwd file");
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;

    /// `/etc/passwd` and `/etc/group` of an image, and the user it wants, apart by empty lines.
    #[test]
    fn account_files() {
        let seeds = ["www:4\n\nroot:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/var:/x\n\nadm:x:4:www,root\n", "1000\n\na:::::\n\nb:::"];
        ::fuzz::run(&seeds, &[":", "\n\n", ",", "4294967296", "-1", "www"], |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let mut parts = text.splitn(3, "\n\n");
            let mut next = || parts.next().unwrap_or("");
            let user = User {
                user: next().to_owned(),
                gid: None,
                supplemental_groups: vec![7],
                supplemental_groups_policy: SupplementalGroupsPolicy::Merge,
            };
            resolve(&user, next(), next()).is_ok()
        });
    }
}
