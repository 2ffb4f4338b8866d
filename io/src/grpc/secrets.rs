//! Accounts of clients on the wire: what a server keeps of a password, and what a client has shown of it. None of it is printed.

use super::convert::Malformed;
use super::proto::query as pb;
use crate::tablet::Login;
use std::fmt;
use weir_core::gateway::processes::Powers;
use weir_core::mysql::auth::{Credential, Kept, Proof, Secret};
use weir_core::tablet::accounts::{Account, Rights};

impl fmt::Debug for pb::Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

impl fmt::Debug for pb::Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account(..)")
    }
}

/// Who a client's statements run as; `None` when more is known of its password than may be passed on.
pub(super) fn login(login: &Login) -> Option<pb::Login> {
    let proof = match &login.proof {
        Proof::Password(password) if password.is_empty() => pb::login::Proof::Empty(pb::Nothing {}),
        Proof::Password(_) => return None,
        Proof::Native(once) => pb::login::Proof::Native(once.expose().to_vec()),
    };
    let rights = login.rights.map(|rights| rights.0.to_vec()).unwrap_or_default();
    Some(pb::Login { user: login.user.clone(), proof: Some(proof), rights })
}

pub(super) fn read_login(said: pb::Login) -> Result<Login, Malformed> {
    let proof = match said.proof.ok_or(Malformed("a login without what is known of its password"))? {
        pb::login::Proof::Empty(_) => Proof::Password(Secret::default()),
        pb::login::Proof::Native(once) => Proof::Native(Secret::new(once)),
    };
    let rights = if said.rights.is_empty() { None } else { Some(read_rights(said.rights)?) };
    Ok(Login { user: said.user, proof, rights })
}

fn read_rights(said: Vec<u8>) -> Result<Rights, Malformed> {
    said.try_into().map(Rights).map_err(|_| Malformed("the length of rights"))
}

/// `None` for what servers do not keep.
pub(super) fn account(account: &Account) -> Option<pb::Account> {
    let password = match account.credential.kept()? {
        Kept::Empty => pb::account::Password::Empty(pb::Nothing {}),
        Kept::Native(hash) => pb::account::Password::Native(hash.to_vec()),
        Kept::Unmatched => pb::account::Password::Unmatched(pb::Nothing {}),
    };
    let Powers { sees_all, ends_all } = account.powers;
    let (needs_tls, rights) = (account.needs_tls, account.rights.0.to_vec());
    Some(pb::Account { password: Some(password), needs_tls, rights, sees_all, ends_all })
}

pub(super) fn read_account(said: pb::Account) -> Result<Account, Malformed> {
    let kept = match said.password.ok_or(Malformed("an account without what is known of its password"))? {
        pb::account::Password::Empty(_) => Kept::Empty,
        pb::account::Password::Native(hash) => {
            Kept::Native(hash.try_into().map_err(|_| Malformed("the length of a hash"))?)
        }
        pb::account::Password::Unmatched(_) => Kept::Unmatched,
    };
    Ok(Account {
        credential: Credential::from(kept),
        needs_tls: said.needs_tls,
        rights: read_rights(said.rights)?,
        powers: Powers { sees_all: said.sees_all, ends_all: said.ends_all },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that a proof is made of below: none of them is in what is printed.
    const ONCE: [u8; 20] = [231; 20];

    fn over_the_wire<M: prost::Message + Default>(message: &M) -> M {
        M::decode(&message.encode_to_vec()[..]).expect("a message")
    }

    #[test]
    fn who_logs_in_arrives_as_it_was_sent() {
        for proof in [Proof::Password(Secret::default()), Proof::Native(Secret::new(ONCE))] {
            for rights in [None, Some(Rights([7; 32]))] {
                let sent = Login { user: b"ann".to_vec(), proof: proof.clone(), rights };
                let message = login(&sent).expect("it may be passed on");
                assert_eq!(read_login(over_the_wire(&message)).expect("a login"), sent);
            }
        }
        let own = Login { user: b"app".to_vec(), proof: Proof::Password(Secret::new("secret")), rights: None };
        assert!(login(&own).is_none(), "no password itself travels");
        assert!(read_login(pb::Login::default()).is_err(), "nothing that is known of a password is no empty one");
    }

    #[test]
    fn an_account_arrives_as_its_server_keeps_it() {
        for kept in [Kept::Empty, Kept::Native([9; 20]), Kept::Unmatched] {
            let powers = Powers { sees_all: true, ends_all: false };
            let sent = Account { credential: kept.into(), needs_tls: true, rights: Rights([7; 32]), powers };
            let message = account(&sent).expect("servers keep it");
            let received = read_account(over_the_wire(&message)).expect("an account");
            assert!(received.credential.kept() == Some(kept));
            assert_eq!((received.needs_tls, received.rights, received.powers), (true, Rights([7; 32]), powers));
        }
        assert!(read_account(pb::Account::default()).is_err(), "no password is no empty one");
    }

    #[test]
    fn what_is_printed_of_messages_has_no_secret() {
        let shown = Login { user: b"ann".to_vec(), proof: Proof::Native(Secret::new(ONCE)), rights: None };
        let login = login(&shown);
        let wish = pb::AcquireAs { wish: None, login };
        let message = pb::FromGateway { what: Some(pb::from_gateway::What::AcquireAs(wish)) };
        assert!(!format!("{message:?}").contains("231"), "{message:?}");
        let found = Account {
            credential: Kept::Native(ONCE).into(),
            needs_tls: false,
            rights: Rights([7; 32]),
            powers: Powers::default(),
        };
        let found = account(&found).expect("servers keep it");
        let answer = pb::FindUserResponse { is: Some(pb::find_user_response::Is::Account(found)) };
        assert!(!format!("{answer:?}").contains("231"), "{answer:?}");
    }
}
